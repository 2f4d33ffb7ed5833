-- The value stream reads the journal itself (D12). Whoever tails it (stream, fold) asks for what was written by transactions from
-- one number to another, so that number is found by a tree: block ranges (BRIN) are summarized by a vacuum only, and until
-- then all that was written since would be read at each look.
CREATE INDEX journal_tail ON vault.journal (txid);
