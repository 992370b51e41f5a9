-- How many of the newest dead letters were redriven and how many are open. Parameter: max letters to count.
SELECT (count(*) FILTER (WHERE redriven_at IS NULL))::integer AS open, (count(redriven_at))::integer AS redriven
FROM (SELECT redriven_at FROM dead_letters ORDER BY dead_at DESC, dead_letter_id DESC LIMIT $1) AS newest
