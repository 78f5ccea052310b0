"""A client of a line protocol that keeps its connection, and loses no request while it is away."""
