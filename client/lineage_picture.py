def draw_lineage(path, store, descent): path.write_bytes(b"x")
