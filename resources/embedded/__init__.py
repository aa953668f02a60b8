"""The default servers, unpacked privately: TimescaleDB and Mosquitto; wheels where Debian packages cannot be had."""
