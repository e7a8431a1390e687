"""HTTP requests that come in: sockets, TLS, one connection's bytes, one connection's conversation. The door to it is
`bridge.edge.listener`.
"""
