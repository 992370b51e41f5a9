SELECT epoch, last_append_number AS lastAppendNumber, topics, groups, producers, crc FROM log WHERE id = 1
