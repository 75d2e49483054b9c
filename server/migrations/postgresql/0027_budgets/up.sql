-- Disruption budgets: each revision whole; one without content ends the budget.
CREATE TABLE budgets (
    name TEXT NOT NULL,
    revision BIGINT NOT NULL,
    at BIGINT NOT NULL,
    person TEXT NOT NULL,
    reason TEXT NOT NULL,
    content TEXT,
    PRIMARY KEY (name, revision)
);
-- Slots that are taken: one of each budget for whoever claims it, until it is given back or its time is over.
CREATE TABLE budget_lease (
    budget TEXT NOT NULL,
    claimant TEXT NOT NULL,
    change BYTEA,
    since BIGINT NOT NULL,
    until BIGINT NOT NULL,
    PRIMARY KEY (budget, claimant)
);
CREATE INDEX budget_lease_claimant ON budget_lease (claimant);
