SELECT topic_number AS topicNumber, name, partitions, crc FROM topics ORDER BY topic_number
