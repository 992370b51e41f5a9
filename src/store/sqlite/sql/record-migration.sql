-- Records an applied migration, in the transaction of that migration.
-- ?1 number, ?2 name, ?3 checksum, ?4 now in microseconds since 1970
INSERT INTO migrations (number, name, checksum, applied_at) VALUES (?1, ?2, ?3, ?4)
