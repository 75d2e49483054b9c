-- What a number of the year belongs to, for whoever names it.
CREATE TABLE year_number (
    number TEXT PRIMARY KEY NOT NULL,
    object TEXT NOT NULL
);
INSERT INTO year_number (number, object) SELECT register, id FROM change WHERE register IS NOT NULL;
