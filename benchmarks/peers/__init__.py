"""The same work by other people's code, in environments of their own where they need one."""
