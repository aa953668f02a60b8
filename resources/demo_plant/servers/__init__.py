"""The plant's servers: OPC UA, Modbus TCP and TLS, and the MQTT publisher. They know protocols, not physics."""
