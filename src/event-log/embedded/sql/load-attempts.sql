SELECT group_number AS groupNumber, stream, first_offset AS firstOffset, attempt, crc
FROM attempts
ORDER BY group_number, stream, first_offset
