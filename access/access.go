// Package access decides by tables who may send what: a rule names a stage of the SMTP session and a
// table, the value found says what to do.
//
// Rules of a stage are asked in their order until one decides. Values are words of ours or those of
// Postfix's access(5), so that its files can be used as they are: see [Action]. Nothing here grants
// relaying except [Relay], which is asked apart; "permit" only ends the rules of its stage.
//
// A table that fails makes the answer temporary (4xx): its name goes into the log, not to strangers.
package access

import (
	"log/slog"

	"posthaste/mail"
	"posthaste/table"
)

// A Stage is a moment of the session at which rules are asked.
type Stage string

// The stages, in their order.
const (
	Client    Stage = "client"    // the connection: address and confirmed name of the client
	Helo      Stage = "helo"      // what the client calls itself
	Sender    Stage = "sender"    // MAIL FROM
	Recipient Stage = "recipient" // RCPT TO
	Etrn      Stage = "etrn"      // ETRN (RFC 1985)
)

// A Rule asks one table at one stage.
type Rule struct {
	Stage   Stage
	Table   string // "type:name", see package table
	Default string // the value where the table has none; empty: go on with the next rule
}

// A Config lists the rules.
type Config struct {
	Rules     []Rule
	Open      func(spec string) (table.Table, error) // as [table.Set.Open]
	Separator byte                                   // between user and tag of an address; 0: none
	Log       *slog.Logger                           // nil: none
}

// An Action is what a decision asks for.
type Action string

// The actions, and the words that stand for them in a table, in any case.
const (
	Dunno   Action = "dunno"   // DUNNO: no opinion, and the result where no rule decided
	Permit  Action = "permit"  // PERMIT, OK, or a number alone: no further rules of this stage
	Reject  Action = "reject"  // REJECT [code] [enhanced] [text], 5NN text
	Defer   Action = "defer"   // DEFER [code] [enhanced] [text], DEFER_IF_PERMIT, 4NN text
	Discard Action = "discard" // DISCARD: take the message and forget it
	Hold    Action = "hold"    // HOLD: take it and keep it until an operator releases it; later rules still count
)

// A Decision is what the rules of one stage say.
type Decision struct {
	Action Action
	Status *mail.Status // the answer to give, with Reject and Defer; else nil
	Rule   string       // which rule and key decided, for trace and log; empty when none did
}
