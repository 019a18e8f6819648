"""The watchdog, tried with a real daemon, a real NOTIFY_SOCKET, and what the kernel may do."""
