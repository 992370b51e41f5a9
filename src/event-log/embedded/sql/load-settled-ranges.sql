SELECT group_number AS groupNumber, stream, first_offset AS firstOffset, end_offset AS endOffset, crc
FROM settled_ahead
ORDER BY group_number, stream, first_offset
