-- Forgets where a group stands. Parameters: group number.
DELETE FROM cursors WHERE group_number = ?
