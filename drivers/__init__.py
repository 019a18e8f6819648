"""The drivers that come with the gateway, one folder a device family; see docs/drivers.md."""
