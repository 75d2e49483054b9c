-- What a host says of its end to the gates of later waves, signed by it; absent where its agent sends only receipts.
ALTER TABLE change_target ADD COLUMN summary BLOB;
