import torch
import torch.nn.functional as F
from torch import nn


class SelfAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q = nn.Linear(512, 512, bias=False)
        self.k = nn.Linear(512, 512, bias=False)
        self.v = nn.Linear(512, 512, bias=False)
        self.relative_attention_bias = nn.Embedding(32, 8)
        self.o = nn.Linear(512, 512, bias=False)

    def forward(self, x, mask, bias):
        q = self.q(x)  # (batch, *, 512)
        k = self.k(x)
        v = self.v(x)
        x = self.relative_attention_bias(bias)  # (*, *, 8)
        position_bias = x.permute(2, 0, 1).unsqueeze(0)  # (1, 8, *, *)
        query = q.unflatten(-1, (8, 64)).transpose(1, 2)  # (batch, 8, *, 64)
        key = k.unflatten(-1, (8, 64)).transpose(1, 2)
        value = v.unflatten(-1, (8, 64)).transpose(1, 2)
        attn_mask = torch.where(mask, position_bias, -float("inf"))  # (*, 8, *, *)
        x = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=attn_mask,
            dropout_p=0.1 if self.training else 0.0,
            scale=1.0,
        )
        x = x.transpose(1, 2).flatten(2)  # (batch, *, 512)
        o = self.o(x)
        return o, position_bias


class DenseReluDense(nn.Module):
    def __init__(self):
        super().__init__()
        self.wi = nn.Linear(512, 2048, bias=False)
        self.wo = nn.Linear(2048, 512, bias=False)

    def forward(self, x):
        x = self.wi(x)  # (batch, *, 2048)
        x = F.relu(x)
        x = F.dropout(x, p=0.1, training=self.training)
        return self.wo(x)  # (batch, *, 512)


class SelfAttention2(nn.Module):
    def __init__(self):
        super().__init__()
        self.q = nn.Linear(512, 512, bias=False)
        self.k = nn.Linear(512, 512, bias=False)
        self.v = nn.Linear(512, 512, bias=False)
        self.o = nn.Linear(512, 512, bias=False)

    def forward(self, x, mask, bias):
        q = self.q(x)  # (batch, *, 512)
        k = self.k(x)
        v = self.v(x)
        query = q.unflatten(-1, (8, 64)).transpose(1, 2)  # (batch, 8, *, 64)
        key = k.unflatten(-1, (8, 64)).transpose(1, 2)
        value = v.unflatten(-1, (8, 64)).transpose(1, 2)
        attn_mask = torch.where(mask, bias, -float("inf"))  # (*, 8, *, *)
        x = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=attn_mask,
            dropout_p=0.1 if self.training else 0.0,
            scale=1.0,
        )
        x = x.transpose(1, 2).flatten(2)  # (batch, *, 512)
        o = self.o(x)
        return o, bias


class Bucket(nn.Module):
    def __init__(self, buckets, size, size2):
        super().__init__()
        self.buckets = buckets
        self.size = size
        self.size2 = size2

    def forward(self, x):
        step = (
            torch.log2(x.to(torch.get_default_dtype()) / (self.buckets // 2))
            / self.size
            * (self.buckets // 2)
        )
        return torch.where(
            x < (self.buckets // 2),
            x,
            ((self.buckets // 2) + step.to(torch.int64)).clamp(max=self.size2),
        )


class CrossAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q = nn.Linear(512, 512, bias=False)
        self.k = nn.Linear(512, 512, bias=False)
        self.v = nn.Linear(512, 512, bias=False)
        self.o = nn.Linear(512, 512, bias=False)

    def forward(self, x, context, mask):
        q = self.q(x)  # (batch, target, 512)
        k = self.k(context)  # (batch, source, 512)
        v = self.v(context)
        query = q.unflatten(-1, (8, 64)).transpose(1, 2)  # (batch, 8, target, 64)
        key = k.unflatten(-1, (8, 64)).transpose(1, 2)  # (batch, 8, source, 64)
        value = v.unflatten(-1, (8, 64)).transpose(1, 2)
        x = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=mask,
            dropout_p=0.1 if self.training else 0.0,
            scale=1.0,
        )
        x = x.transpose(1, 2).flatten(2)  # (batch, target, 512)
        return self.o(x)


class SelfLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer_norm = nn.RMSNorm(512, eps=1e-06)
        self.SelfAttention = SelfAttention()
        self.dropped = nn.Dropout(p=0.1)

    def forward(self, x, mask, bias):
        layer_norm = self.layer_norm(x)  # (batch, *, 512)
        o, position_bias = self.SelfAttention(layer_norm, mask, bias)
        dropped = self.dropped(o)
        out = x + dropped
        return out, position_bias


class FeedForward(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer_norm = nn.RMSNorm(512, eps=1e-06)
        self.DenseReluDense = DenseReluDense()
        self.dropped = nn.Dropout(p=0.1)

    def forward(self, x):
        out = self.layer_norm(x)  # (batch, *, 512)
        out = self.DenseReluDense(out)
        dropped = self.dropped(out)
        return x + dropped


class SelfLayer2(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer_norm = nn.RMSNorm(512, eps=1e-06)
        self.SelfAttention = SelfAttention2()
        self.dropped = nn.Dropout(p=0.1)

    def forward(self, x, mask, bias):
        layer_norm = self.layer_norm(x)  # (batch, *, 512)
        o, position_bias = self.SelfAttention(layer_norm, mask, bias)
        dropped = self.dropped(o)
        out = x + dropped
        return out, position_bias


class CrossLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer_norm = nn.RMSNorm(512, eps=1e-06)
        self.EncDecAttention = CrossAttention()
        self.dropped = nn.Dropout(p=0.1)

    def forward(self, x, context, mask):
        layer_norm = self.layer_norm(x)  # (batch, target, 512)
        out = self.EncDecAttention(layer_norm, context, mask)
        dropped = self.dropped(out)
        return x + dropped


class EncoderBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.ModuleList([SelfLayer(), FeedForward()])

    def forward(self, x, mask, bias):
        x, bias = self.layer[0](x, mask, bias)  # (batch, source, 512)
        x = self.layer[1](x)
        return x, bias


class EncoderBlock2(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.ModuleList([SelfLayer2(), FeedForward()])

    def forward(self, x, mask, bias):
        x, bias = self.layer[0](x, mask, bias)  # (batch, source, 512)
        x = self.layer[1](x)
        return x, bias


class DecoderBlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.ModuleList([SelfLayer(), CrossLayer(), FeedForward()])

    def forward(self, x, mask, bias, context, context_mask):
        x, bias = self.layer[0](x, mask, bias)  # (batch, target, 512)
        x = self.layer[1](x, context, context_mask)
        x = self.layer[2](x)
        return x, bias


class DecoderBlock2(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.ModuleList([SelfLayer2(), CrossLayer(), FeedForward()])

    def forward(self, x, mask, bias, context, context_mask):
        x, bias = self.layer[0](x, mask, bias)  # (batch, target, 512)
        x = self.layer[1](x, context, context_mask)
        x = self.layer[2](x)
        return x, bias


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.near = Bucket(16, 4.0, 15)
        self.embed_tokens = nn.Embedding(32128, 512)
        self.start = nn.Dropout(p=0.1)
        self.block = nn.ModuleList(
            [EncoderBlock(), *(EncoderBlock2() for _ in range(5))]
        )
        self.final_layer_norm = nn.RMSNorm(512, eps=1e-06)

    def forward(self, ids, mask):
        source = ids.shape[1]
        distance = (
            torch.arange(source, device=ids.device)[None, :]
            - torch.arange(source, device=ids.device)[:, None]
        )
        x = torch.abs(distance)  # (source, source)
        near = self.near(x)
        number = torch.where(distance > 0, 16, 0) + near
        x = self.embed_tokens(ids)  # (batch, source, 512)
        start = self.start(x)
        x, bias = self.block[0](start, mask, number)
        for layer in self.block[1:]:
            x, _ = layer(x, mask, bias)  # (batch, source, 512)
        x = self.final_layer_norm(x)
        return F.dropout(x, p=0.1, training=self.training)


class Decoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.number = Bucket(32, 3.0, 31)
        self.embed_tokens = nn.Embedding(32128, 512)
        self.start = nn.Dropout(p=0.1)
        self.block = nn.ModuleList(
            [DecoderBlock(), *(DecoderBlock2() for _ in range(5))]
        )
        self.final_layer_norm = nn.RMSNorm(512, eps=1e-06)

    def forward(self, ids, context, context_mask):
        target = ids.shape[1]
        distance = (
            torch.arange(target, device=ids.device)[:, None]
            - torch.arange(target, device=ids.device)[None, :]
        )
        causal = distance >= 0  # (target, target)
        x = distance.clamp(min=0)
        number = self.number(x)
        x = self.embed_tokens(ids)  # (batch, target, 512)
        start = self.start(x)
        x, bias = self.block[0](start, causal, number, context, context_mask)
        for layer in self.block[1:]:
            x, _ = layer(x, causal, bias, context, context_mask)  # (batch, target, 512)
        x = self.final_layer_norm(x)
        return F.dropout(x, p=0.1, training=self.training)


class T5Small(nn.Module):
    """T5 (https://arxiv.org/abs/1910.10683), as transformers'
    T5ForConditionalGeneration.
    """

    def __init__(self):
        super().__init__()
        self.shared = nn.Embedding(32128, 512)
        self.encoder = Encoder()
        self.decoder = Decoder()
        self.lm_head = nn.Linear(512, 32128, bias=False)
        self.encoder.embed_tokens.weight = self.shared.weight
        self.decoder.embed_tokens.weight = self.shared.weight
        self.lm_head.weight = self.shared.weight
        for name, parameter in self.named_parameters():
            if name.endswith(".q.weight"):
                nn.init.normal_(parameter, std=0.005524271728019902)
            elif (
                name.endswith(".k.weight")
                or name.endswith(".v.weight")
                or name.endswith(".o.weight")
                or name.endswith(".wi.weight")
                or name.endswith(".relative_attention_bias.weight")
            ):
                nn.init.normal_(parameter, std=0.044194173824159216)
            elif name.endswith(".wo.weight"):
                nn.init.normal_(parameter, std=0.022097086912079608)

    def forward(self, input_ids, attention_mask, decoder_input_ids):
        mask = attention_mask[:, None, None, :]  # (batch, 1, 1, source)
        encoder = self.encoder(input_ids, mask)  # (batch, source, 512)
        x = self.decoder(decoder_input_ids, encoder, mask)  # (batch, target, 512)
        x = x * (512**-0.5)
        lm_head = self.lm_head(x)  # (batch, target, 32128)
        return {"logits": lm_head, "encoder_last_hidden_state": encoder}
