"""The configuration: one TOML file (and ``gateway.d/*.toml``) as checked, frozen models."""
