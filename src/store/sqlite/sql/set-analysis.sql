-- Sets the analysis of a file. Parameters: its id, JSON.
UPDATE files SET analysis = ?2 WHERE file_id = ?1
