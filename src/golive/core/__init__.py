"""The vocabulary every other folder speaks: ids, time, chance, money, messages, events, frames, errors, deadlines.

Owns values and pure arithmetic. Leaves all input and output (sockets, files, databases, processes) to the folders
above.
"""
