package inbound

import (
	"slices"

	"posthaste/mail"
	"posthaste/message"
)

// maxAdded bounds the recipients that engines add to one message.
const maxAdded = 100

// edit changes m as engines asked, once it is taken. Recipients that an engine removes stay in their
// places, so that decisions about them do too, and are dropped.
func (m *Message) edit(decisions []Decision) []Decision {
	content := m.Content
	for i := range m.edits {
		e := &m.edits[i]
		content = e.Apply(content)
		if e.From != nil {
			m.Envelope.From = *e.From
		}
		decisions = m.removeRecipients(decisions, e.Remove)
		if len(e.Add) > 0 {
			m.addRecipients(e.Add) // who are no blind copies: what happens to others is not their fate
			decisions = slices.Concat(decisions, make([]Decision, len(m.Envelope.Recipients)-len(decisions)))
		}
	}
	if len(m.edits) > 0 && (len(content) != len(m.Content) || &content[0] != &m.Content[0]) {
		m.Content, m.Header = content, message.ParseHeader(content)
	}
	if m.discard != "" {
		decisions = m.removeRecipients(decisions, addressesOf(m.Envelope.Recipients))
	}
	return decisions
}

func (m *Message) removeRecipients(decisions []Decision, gone []mail.Address) []Decision {
	if len(gone) == 0 {
		return decisions
	}
	reason := m.discard
	if reason == "" {
		reason = "a filter removed this recipient"
	}
	all := make([]Decision, len(m.Envelope.Recipients))
	copy(all, decisions)
	for i, r := range m.Envelope.Recipients {
		if slices.Contains(gone, r.Address) {
			all[i].Discard = reason
		}
	}
	return all
}

func (m *Message) addRecipients(more []mail.Address) {
	known := addressesOf(m.Envelope.Recipients)
	for _, a := range more[:min(len(more), maxAdded)] {
		if slices.Contains(known, a) {
			continue
		}
		m.Envelope.Recipients = append(slices.Clip(m.Envelope.Recipients), mail.Recipient{Address: a, Notify: mail.NotifyNever})
		known = append(known, a)
	}
}
