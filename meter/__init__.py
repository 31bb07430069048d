"""Meters: Modbus TCP polling by device profile, interval readings, the gateway that submits them, the simulator."""
