"""BACnet/IP: one device a source, by subscription to changes of value and by polling."""
