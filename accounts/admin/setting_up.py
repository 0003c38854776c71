"""What the program owner's superusers add, through the services."""

from accounts.admin_site import AuditedMixin, may_set_up


class SetUpMixin(AuditedMixin):
    """A record the program owner's superusers add, through a service; never changed."""

    def has_add_permission(self, request) -> bool:
        return may_set_up(request)

    def create(self, *, by, **answers):
        """Call the service that adds one."""
        raise NotImplementedError

    def save_model(self, request, obj, form, change) -> None:
        created = self.create(**form.cleaned_data, by=request.user)
        # What follows speaks of `obj`: the page shown next and its message.
        obj.__dict__.update(created.__dict__)
