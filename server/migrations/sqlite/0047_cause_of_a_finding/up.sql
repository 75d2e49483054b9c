-- What others did to packages that has brought a finding about, as the host signed it.
ALTER TABLE finding ADD COLUMN cause TEXT;
