SELECT group_number AS groupNumber, topic_number AS topicNumber, name, crc FROM consumer_groups ORDER BY group_number
