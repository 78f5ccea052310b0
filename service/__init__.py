"""The gevent server around `callfsm`: sockets, engines, the store and the command line."""
