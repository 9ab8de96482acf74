"""Measurements that need a quiet machine; never part of the tests."""
