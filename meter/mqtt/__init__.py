"""MQTT: readings, power, trade signals and status out; samples of an existing SCADA in. docs/MQTT.md has the topics."""
