SELECT group_number AS groupNumber, reason, crc FROM paused_groups ORDER BY group_number
