"""Recordings of real measurements, served again by OPC UA, Modbus and MQTT, with their own times and at any speed."""
