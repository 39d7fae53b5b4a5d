// Package notify delivers messages of alerts. It knows what a webhook, a mail
// server and the webhooks of chats expect to see. When there is something to
// tell, and to whom, is package mirror's business.
package notify
