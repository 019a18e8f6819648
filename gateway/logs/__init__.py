"""The log: one line an event, structured where the journal takes it, repeats counted."""

from gateway.logs.setting_up import command_journal, set_level, set_up, summarise

__all__ = ["command_journal", "set_level", "set_up", "summarise"]
