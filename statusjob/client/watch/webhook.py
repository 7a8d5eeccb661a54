"""
The webhook of a L{StatusClient<statusjob.client.watch.status_client.StatusClient>}.

It is registered and unregistered at the server that is watched. What the server
then delivers is received by L{statusjob.client.receive.receiver}.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, TimeoutError
from twisted.logger import Logger

from statusjob.client.errors import NoWebhook, Refused, StatusjobError
from statusjob.client.http import answers
from statusjob.client.http.session import Session
from statusjob.client.models import WebhookRegistration

#: The longest time in seconds by which unregistering delays the end of the monitoring.
UNREGISTER_TIMEOUT = 3.0


class ClientWebhook:
    """
    One webhook under one base URL.

    @ivar registration: what the server answered when the webhook was last registered; C{None}
        before that.
    """

    _log = Logger()

    def __init__(self, session: Session, url: str | None, secret: str | None) -> None:
        """
        @param url: where the server delivers updates; C{None} if there is no webhook.
        @param secret: signs the deliveries; C{None} to let the server make one.
        """
        self.registration: WebhookRegistration | None = None
        self._session = session
        self._url = url
        self._secret = secret
        # Whether monitoring has registered it, or may have.
        self._monitored = False

    async def register(self) -> WebhookRegistration:
        """
        Register the webhook. It is no error if it is registered already.

        @raise NoWebhook: if there is none.
        @raise StatusjobError: if the server cannot be asked, or refuses.
        """
        body = self._body()
        if self._secret is not None:
            body["secret"] = self._secret
        answer = await self._session.ask("POST", "webhooks", "register", body=body)
        if answer.code not in (200, 201):
            raise self._session.refusal(answer)
        self.registration = answers.read_members(answer.body, WebhookRegistration)
        return self.registration

    async def unregister(self) -> None:
        """
        Unregister the webhook. It is no error if it is not registered.

        @raise NoWebhook: if there is none.
        @raise StatusjobError: if the server cannot be asked, or refuses.
        """
        answer = await self._session.ask("DELETE", "webhooks", "unregister", body=self._body())
        if answer.code not in (200, 204):
            raise self._session.refusal(answer)
        self._monitored = False

    async def try_to_register(self) -> None:
        """Register the webhook if there is one; log it if that fails."""
        if self._url is None:
            return
        # Even if the answer is lost, the server may have registered it.
        self._monitored = True
        try:
            await self.register()
        except StatusjobError as problem:
            self._monitored = not isinstance(problem, Refused)
            self._log.warn(
                "the webhook is not registered, so the job is only polled: {problem}",
                problem=str(problem),
            )

    async def try_to_unregister(self) -> None:
        """
        Undo L{try_to_register}; log it if that fails.

        It takes at most L{UNREGISTER_TIMEOUT}.
        """
        if not self._monitored:
            return
        unregistering = Deferred.fromCoroutine(self.unregister())
        try:
            await unregistering.addTimeout(UNREGISTER_TIMEOUT, self._session.reactor)
        except (StatusjobError, TimeoutError) as problem:
            self._log.warn("the webhook stays registered: {problem}", problem=str(problem))

    def _body(self) -> dict[str, str]:
        if self._url is None:
            raise NoWebhook("no webhook_url was given")
        return {"url": self._url}
