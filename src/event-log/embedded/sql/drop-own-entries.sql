-- Removes the pending redeliveries of a group. Parameters: group number.
DELETE FROM entries WHERE stream IN (SELECT stream FROM streams WHERE group_number = ?)
