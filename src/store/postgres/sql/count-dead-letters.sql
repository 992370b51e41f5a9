SELECT count(*)::integer AS "deadLetters" FROM dead_letters WHERE {filter}
