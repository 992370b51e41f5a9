-- Forgets what a group has settled beyond its cursors. Parameters: group number.
DELETE FROM settled_ahead WHERE group_number = ?
