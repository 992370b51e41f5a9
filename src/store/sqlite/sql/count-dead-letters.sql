-- {filter}: see dead-letter-filter.ts.
SELECT count(*) AS dead_letters FROM dead_letters WHERE {filter}
