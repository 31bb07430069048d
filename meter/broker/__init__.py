"""A small MQTT 3.1.1 broker for a node or gateway without one: QoS 0 and 1, retained messages, wills, passwords."""
