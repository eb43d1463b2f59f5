package admin

import (
	"context"
	"errors"
	"net/netip"

	"posthaste/explain"
	"posthaste/mail"
)

// An ExplainRequest asks what would become of mail for one recipient.
type ExplainRequest struct {
	To   mail.Address     `json:"to"`
	From mail.ReversePath `json:"from"`
	IP   netip.Addr       `json:"ip,omitzero"` // of the client
	Helo string           `json:"helo,omitempty"`
}

// An Explanation is what the deciders said.
type Explanation struct {
	Taken   bool             `json:"taken"`  // whether RCPT is answered with 2xx
	Answer  *mail.Status     `json:"answer"` // to RCPT
	Ways    []Way            `json:"ways"`   // where the mail goes, one for each address that the recipient leads to
	Reasons []explain.Reason `json:"reasons"`
}

// A Way is where mail for one address ends or leaves.
type Way struct {
	Address   mail.Address `json:"address"`
	Transport string       `json:"transport,omitempty"`
	Problem   string       `json:"problem,omitempty"` // why there is no way now
}

// Explain tells what would become of mail for one recipient, and why.
func (a *Admin) Explain(ctx context.Context, r ExplainRequest) (Explanation, error) {
	if a.cfg.Explain == nil {
		return Explanation{}, errors.New("this node cannot explain")
	}
	return a.cfg.Explain(ctx, r)
}

// Reload puts the configuration into force as it is now, or changes nothing.
func (a *Admin) Reload(ctx context.Context, _ struct{}) error {
	if a.cfg.Reload == nil {
		return errors.New("this node cannot reload its configuration")
	}
	return a.cfg.Reload(ctx)
}
