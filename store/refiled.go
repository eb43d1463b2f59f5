package store

import "posthaste/mail"

// maxRefiled bounds the emails of one [Refiled]: who moves more at once says little about each.
const maxRefiled = 1000

// A Refiled tells that a reader put emails from one mailbox into another, by moving or copying them.
type Refiled struct {
	Account  mail.AccountID
	From, To Role      // of the mailboxes; one of them is RoleJunk
	Emails   []EmailID // at most 1,000, the first
}

// add notes an email where that says something about junk.
func (r *Refiled) add(id EmailID) {
	if (r.From == RoleJunk) != (r.To == RoleJunk) && len(r.Emails) < maxRefiled {
		r.Emails = append(r.Emails, id)
	}
}

func (s *Store) tell(r Refiled) {
	if s.cfg.Refiled != nil && len(r.Emails) > 0 {
		s.cfg.Refiled(r)
	}
}
