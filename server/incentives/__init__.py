"""Incentives: facts come in, campaigns turn them into awards, templates become coupons; budgets bound both.

    fact ──> campaign (live when the fact occurred) ──> award ──> vault.earn, or what is handed over
    template ──approved by a second person──> vault terms + budgets ──> claims (wallet), grants

Which file to open:

| for | file |
|---|---|
| the life of campaigns and templates | `course`, made of `drafting`, `moves`, `follow`, `search`, `rows` |
| what is theirs | `campaigns`, `templates`, `budgets`, `limits`, `usable`, `effects`; `models`, `commands`, `errors` |
| a fact comes in | `facts`, `dates`, `value_facts`; `asked`, `forgetting`: what nobody asks for is not kept |
| a fact gives something | `judging`, `awards`, `handing`, `counting`, `settling` |
| what residents are shown | `for_me`, `gifts`, `explanations`, `free_minutes`, `shop`, `coupons`, `stock`, `waiting` |
| what the console is shown | `changes`, `simulation`, `calendar`, `listing`, `running_jobs`, `watch`, `emergency` |
| words | `wording` for versions, `words` for codes, `names` for what the city calls them |
| for all rooms below | `orders`: one makes, another approves, a job does; `promises`; `working_days` for the vault |

The folders are rooms of their own: `rules` (pure), `grants`, `codes`, `lottery`, `segments`, `intake`, `experiments`,
`dry_runs`; docs/architecture.md says what each promises.
"""
