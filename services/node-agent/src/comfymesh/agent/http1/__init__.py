"""A lean HTTP/1.1 client for one server, which is asked several times for every task.

`address`, `request` and `response` are what travels, without IO; `connection` is one connection, and `client` keeps a
few of them open. It does what is asked and no more: no redirects, no proxies, no cookies, no compression.
"""
