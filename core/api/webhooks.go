package api

import (
	"context"

	"github.com/hallmarkhub/hallmark/core"
	"github.com/hallmarkhub/hallmark/core/store"
)

func showWebhook(w *store.Webhook) Webhook {
	out := Webhook{Name: w.Name, Channel: WebhookChannel(w.Channel), Host: w.Host, To: all(w.Recipients), Events: all(w.Events), Repositories: all(w.Repositories),
		Lang: w.Lang, Paused: w.Paused, Problem: w.Problem, CreatedAt: w.CreatedAt, UpdatedAt: w.UpdatedAt}
	if w.MinSeverity != "" {
		s := WebhookSeverity(w.MinSeverity)
		out.MinSeverity = &s
	}
	return out
}

// all is a list that is never null.
func all(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func webhookPut(b *WebhookPut) store.WebhookPut {
	n := store.WebhookPut{Channel: store.Channel(b.Channel), URL: b.URL, Secret: b.Secret, Events: b.Events, Paused: isTrue(b.Paused)}
	if b.To != nil {
		n.Recipients = *b.To
	}
	if b.Repositories != nil {
		n.Repositories = *b.Repositories
	}
	if b.MinSeverity != nil {
		n.MinSeverity = core.Severity(*b.MinSeverity)
	}
	if b.Lang != nil {
		n.Lang = string(*b.Lang)
	}
	return n
}

func showDelivery(d *store.Delivery) Delivery {
	out := Delivery{ID: d.ID, Event: d.Event.ID, Type: d.Type, Subject: d.Subject, State: DeliveryState(d.State), Attempts: d.Attempts, Status: d.Status,
		Error: d.Error, Answer: d.Answer, CreatedAt: d.CreatedAt, DueAt: d.DueAt}
	if !d.TriedAt.IsZero() {
		out.TriedAt = &d.TriedAt
	}
	return out
}

// webhooksOf lists those of a project, or of the hub if p is nil; so do the others.
func (a *API) webhooksOf(ctx context.Context, p *core.Project, limit *int64, cursor *string) ([]Webhook, *string, error) {
	return list(ctx, a, limit, cursor, func(after string, n int) ([]*store.Webhook, bool, error) {
		return a.store.Webhooks(ctx, p, after, n)
	}, func(w *store.Webhook) string { return w.Name }, showWebhook)
}

func (a *API) deliveriesOf(ctx context.Context, p *core.Project, name string, limit *int64, cursor *string) ([]Delivery, *string, error) {
	w, err := a.store.Webhook(ctx, p, name)
	if err != nil {
		return nil, nil, err
	}
	return list(ctx, a, limit, cursor, func(before string, n int) ([]*store.Delivery, bool, error) {
		return a.store.Deliveries(ctx, w, before, n)
	}, func(d *store.Delivery) string { return d.ID }, showDelivery)
}

func (a *API) saveWebhook(ctx context.Context, p *core.Project, name string, b *WebhookPut, match *string) (w *store.Webhook, created bool, err error) {
	revision, err := ifMatch(match)
	if err != nil {
		return nil, false, err
	}
	return a.webhooks.Save(ctx, p, name, webhookPut(b), revision)
}

func (a *API) dropWebhook(ctx context.Context, p *core.Project, name string, match *string) error {
	revision, err := mustMatch(match)
	if err != nil {
		return err
	}
	return a.store.DeleteWebhook(ctx, p, name, revision)
}

func (a *API) tryWebhook(ctx context.Context, p *core.Project, name string) (WebhookTest, error) {
	t, err := a.webhooks.Test(ctx, p, name)
	return WebhookTest{Ok: t.OK, Status: t.Status, Message: t.Message, Answer: t.Answer}, err
}

// ListWebhooks lists who is told what happens in the hub.
func (a *API) ListWebhooks(ctx context.Context, r ListWebhooksRequestObject) (ListWebhooksResponseObject, error) {
	items, link, err := a.webhooksOf(ctx, nil, r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	return ListWebhooks200JSONResponse{Body: items, Headers: ListWebhooks200ResponseHeaders{Link: link}}, nil
}

// GetWebhook shows one of the hub.
func (a *API) GetWebhook(ctx context.Context, r GetWebhookRequestObject) (GetWebhookResponseObject, error) {
	w, err := a.store.Webhook(ctx, nil, r.Webhook)
	if err != nil {
		return nil, err
	}
	return GetWebhook200JSONResponse{Body: showWebhook(w), Headers: GetWebhook200ResponseHeaders{ETag: etag(w.Revision)}}, nil
}

// PutWebhook makes or changes one of the hub.
func (a *API) PutWebhook(ctx context.Context, r PutWebhookRequestObject) (PutWebhookResponseObject, error) {
	w, created, err := a.saveWebhook(ctx, nil, r.Webhook, r.Body, r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	if created {
		return PutWebhook201JSONResponse{Body: showWebhook(w), Headers: PutWebhook201ResponseHeaders{ETag: etag(w.Revision)}}, nil
	}
	return PutWebhook200JSONResponse{Body: showWebhook(w), Headers: PutWebhook200ResponseHeaders{ETag: etag(w.Revision)}}, nil
}

// DeleteWebhook removes one of the hub.
func (a *API) DeleteWebhook(ctx context.Context, r DeleteWebhookRequestObject) (DeleteWebhookResponseObject, error) {
	return DeleteWebhook204Response{}, a.dropWebhook(ctx, nil, r.Webhook, r.Params.IfMatch)
}

// TestWebhook sends one of the hub a test.
func (a *API) TestWebhook(ctx context.Context, r TestWebhookRequestObject) (TestWebhookResponseObject, error) {
	t, err := a.tryWebhook(ctx, nil, r.Webhook)
	if err != nil {
		return nil, err
	}
	return TestWebhook200JSONResponse(t), nil
}

// ListWebhookDeliveries lists what one of the hub was told.
func (a *API) ListWebhookDeliveries(ctx context.Context, r ListWebhookDeliveriesRequestObject) (ListWebhookDeliveriesResponseObject, error) {
	items, link, err := a.deliveriesOf(ctx, nil, r.Webhook, r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	return ListWebhookDeliveries200JSONResponse{Body: items, Headers: ListWebhookDeliveries200ResponseHeaders{Link: link}}, nil
}

// Redeliver delivers once more to one of the hub.
func (a *API) Redeliver(ctx context.Context, r RedeliverRequestObject) (RedeliverResponseObject, error) {
	d, err := a.webhooks.Redeliver(ctx, nil, r.Webhook, r.ID)
	if err != nil {
		return nil, err
	}
	return Redeliver202JSONResponse(showDelivery(d)), nil
}

// ListProjectWebhooks lists who is told what happens in a project.
func (a *API) ListProjectWebhooks(ctx context.Context, r ListProjectWebhooksRequestObject) (ListProjectWebhooksResponseObject, error) {
	items, link, err := a.webhooksOf(ctx, callOf(ctx).project(), r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	return ListProjectWebhooks200JSONResponse{Body: items, Headers: ListProjectWebhooks200ResponseHeaders{Link: link}}, nil
}

// GetProjectWebhook shows one of a project.
func (a *API) GetProjectWebhook(ctx context.Context, r GetProjectWebhookRequestObject) (GetProjectWebhookResponseObject, error) {
	w, err := a.store.Webhook(ctx, callOf(ctx).project(), r.Webhook)
	if err != nil {
		return nil, err
	}
	return GetProjectWebhook200JSONResponse{Body: showWebhook(w), Headers: GetProjectWebhook200ResponseHeaders{ETag: etag(w.Revision)}}, nil
}

// PutProjectWebhook makes or changes one of a project.
func (a *API) PutProjectWebhook(ctx context.Context, r PutProjectWebhookRequestObject) (PutProjectWebhookResponseObject, error) {
	w, created, err := a.saveWebhook(ctx, callOf(ctx).project(), r.Webhook, r.Body, r.Params.IfMatch)
	if err != nil {
		return nil, err
	}
	if created {
		return PutProjectWebhook201JSONResponse{Body: showWebhook(w), Headers: PutProjectWebhook201ResponseHeaders{ETag: etag(w.Revision)}}, nil
	}
	return PutProjectWebhook200JSONResponse{Body: showWebhook(w), Headers: PutProjectWebhook200ResponseHeaders{ETag: etag(w.Revision)}}, nil
}

// DeleteProjectWebhook removes one of a project.
func (a *API) DeleteProjectWebhook(ctx context.Context, r DeleteProjectWebhookRequestObject) (DeleteProjectWebhookResponseObject, error) {
	return DeleteProjectWebhook204Response{}, a.dropWebhook(ctx, callOf(ctx).project(), r.Webhook, r.Params.IfMatch)
}

// TestProjectWebhook sends one of a project a test.
func (a *API) TestProjectWebhook(ctx context.Context, r TestProjectWebhookRequestObject) (TestProjectWebhookResponseObject, error) {
	t, err := a.tryWebhook(ctx, callOf(ctx).project(), r.Webhook)
	if err != nil {
		return nil, err
	}
	return TestProjectWebhook200JSONResponse(t), nil
}

// ListProjectWebhookDeliveries lists what one of a project was told.
func (a *API) ListProjectWebhookDeliveries(ctx context.Context, r ListProjectWebhookDeliveriesRequestObject) (ListProjectWebhookDeliveriesResponseObject, error) {
	items, link, err := a.deliveriesOf(ctx, callOf(ctx).project(), r.Webhook, r.Params.Limit, r.Params.Cursor)
	if err != nil {
		return nil, err
	}
	return ListProjectWebhookDeliveries200JSONResponse{Body: items, Headers: ListProjectWebhookDeliveries200ResponseHeaders{Link: link}}, nil
}

// RedeliverOfProject delivers once more to one of a project.
func (a *API) RedeliverOfProject(ctx context.Context, r RedeliverOfProjectRequestObject) (RedeliverOfProjectResponseObject, error) {
	d, err := a.webhooks.Redeliver(ctx, callOf(ctx).project(), r.Webhook, r.ID)
	if err != nil {
		return nil, err
	}
	return RedeliverOfProject202JSONResponse(showDelivery(d)), nil
}
