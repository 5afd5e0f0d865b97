"""Asks the real platform, with the user's own account, what the sandbox can only assume.

It is no test: its answers come from a service that tests must not need, and none of them is wrong.
It is no part of the tool either, but it sends requests by the tool's own sessions, so that a secret
goes only to hosts that the tool trusts.
"""
