"""Replying to a post, which tells its author."""

from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_POST

from notifications import send_notification
from posts.models import Post


@require_POST
@login_required
@transaction.atomic
def reply(request: HttpRequest, post_id: int) -> JsonResponse:
    """The reply and its notification are stored together, or not at all."""
    post = get_object_or_404(Post, pk=post_id)
    answer = Post.objects.create(author=request.user, parent=post, text=request.POST["text"])
    send_notification(
        "reply",
        users=post.author,
        author=request.user,
        title=f"{request.user.get_username()} replied",
        message=answer.text[:200],
        data={"post": post.pk, "by": str(request.user.pk)},
        related_objects=[answer],
    )
    return JsonResponse({"id": answer.pk}, status=201)
