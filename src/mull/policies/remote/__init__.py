"""Talking to models over HTTP, whatever API they speak: keys, requests, streams, retries, samples.

An API is a `Wire`, and lives in a room of its own beside this one.
"""
