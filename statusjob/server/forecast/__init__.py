"""The forecast: says from past jobs when it is worth asking again about a pending one."""
