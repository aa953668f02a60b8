"""Sparkplug B 3.0 as a host application: what its payloads say, who is alive, what a metric's alias stands for.

Everything here is a `PayloadDecoder` of the MQTT connector or serves one; sockets belong to that connector.
Source: Eclipse Sparkplug 3.0.0 (ISO/IEC 20237:2023).
"""
