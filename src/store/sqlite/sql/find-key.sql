-- An index that allows each event_id only one row.
SELECT name FROM pragma_index_list('events') AS list
WHERE "unique" = 1 AND partial = 0
  AND (SELECT group_concat(name) FROM pragma_index_info(list.name)) = 'event_id'
